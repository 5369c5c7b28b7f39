"""English words that say how much, from when, how strongly, and the small words that say nothing.

Phrases are separated by ``|``; case, accents, hyphens and points between words do not matter.
"""

AT_MOST = (
    "under|below|less than|fewer than|lower than|up to|upto|at most|max|maximum|maximum of|no more than|"
    "not more than|not over|not pay more than|not spend more than|"
    "not above|no higher than|not exceeding|cheaper than|budget|budget of|budget is|for under|limit|capped at|"
    "can spend|can pay|not to exceed|anything under|tops of"
)
AT_LEAST = (
    "not before|at least|from|since|over|above|more than|min|minimum|minimum of|no less than|not less than|"
    "not under|not below|starting at|"
    "starting from|no fewer than|not earlier than|upwards of|excess of"
)
NO_OLDER = "not older than|nothing older than|no older than|younger than|less old than|maximum age|max age"
AFTER = "newer than|after|later than"
BEFORE = "before|older than|earlier than"
ABOUT = "around|about|roughly|approx|approximately|circa|somewhere around|something like|in the region of|ish"
BETWEEN = "between|from|anything from|somewhere between|in the range of"
TO = "to|and|till|until|through|up to"
AT_MOST_AFTER = "max|maximum|tops|or less|or under|or below|at most|or lower|or cheaper|or fewer|at the most|limit"
AT_LEAST_AFTER = (
    "or more|or newer|or later|or above|onwards|onward|and newer|and up|and above|upwards|or after|minimum|or better|"
    "and later|and onwards|or higher|plus|min|and more|at least|or over|or younger|or up|at the earliest|"
    "earliest|or so and up"
)
NUMBERS = {
    "a": 1,
    "an": 1,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "twelve": 12,
    "fourteen": 14,
    "eighteen": 18,
    "twenty": 20,
    "thirty": 30,
    "couple of": 2,
}
MULTIPLES = {"k": 1_000, "thousand": 1_000, "grand": 1_000, "million": 1_000_000, "hundred": 100, "mil": 1_000_000}
UNITS = {
    "KMT": "km|kms|kilometers|kilometer|kilometres|kilometre",
    "SMI": "mi|miles|mile",
    "KWT": "kw|kilowatt|kilowatts",
    "BHP": "hp|bhp|horsepower|horse power|horses",
    "E34": "gb|gig|gigs|gigabyte|gigabytes",
    "4L": "mb|megabyte|megabytes|meg",
    "E35": "tb|terabyte|terabytes",
    "HUR": "hour|hours|hrs|h|hr",
    "DAY": "day|days",
    "WEE": "week|weeks|wk|wks",
    "MON": "month|months|mths|mth|mo",
    "ANN": "year|years|yr|yrs",
}
CURRENCIES = {
    "EUR": "euro|euros|eur",
    "USD": "dollar|dollars|usd|bucks|buck|us dollars",
    "GBP": "pound|pounds|gbp|quid|pounds sterling",
    "CHF": "chf|swiss francs|francs",
    "CAD": "cad|canadian dollars",
    "SEK": "sek|kronor",
    "DKK": "dkk",
    "NOK": "nok",
    "PLN": "pln|zloty",
    "CZK": "czk",
    "HUF": "huf",
}
PER = {
    "MON": "a month|per month|each month|every month|monthly|pm|p m|pcm|per mth|/month|/mo|/mth|/m|pr month|p/m",
    "ANN": "a year|per year|each year|yearly|annually|per annum|pa|p a|/year|/yr|every year|/y|p/a",
    "HUR": "an hour|per hour|hourly|/hour|/h|/hr|each hour|ph",
}
HINTS = {
    "price": "price|asking price|budget|cost|costs|pay|spend|prices|priced",
    "mileage": "mileage|odometer|driven|on the clock|clock",
    "year": "registered|registration|built|model year|year|reg|made",
    "warranty": "warranty|guarantee|guaranteed",
    "contract": "contract|term|commitment|minimum term|tied in|rolling",
    "delivery": (
        "delivered|delivery|deliver|done|finished|completed|fixed|repaired|fitted|installed|arrive|arriving|"
        "come|lead time|shipped|shipping|ship"
    ),
    "expires": "offers|offer|quotes|quote|open|bids|reply|replies|valid|respond|decide|decision|proposals",
    "deductible": "excess|deductible",
    "covered": (
        "cover|cover of|covered|coverage of|cover at least|sum insured|insured sum|worth|value of|valued at|"
        "cover for|coverage"
    ),
    "radius": "within|radius|away|drive",
    "age": "old",
    "range": "range|distance",
}
WITHIN = (
    "within|in|in the next|within the next|in under|inside|in less than|in the coming|within about|over the next|"
    "open for|valid for|in max|within max"
)
UNTIL = (
    "by|until|till|before|no later than|not later than|by the|until the|before the|latest|at the latest by|"
    "on or before|on"
)
NEAR = (
    "near|nearby|around|close to|in|of|from|based in|near to|in or near|within reach of|outside|area of|"
    "next to|not far from|"
    "in the area of|live in|living in|located in|by|in and around"
)
MONTHS = {
    "january": 1,
    "jan": 1,
    "february": 2,
    "feb": 2,
    "march": 3,
    "mar": 3,
    "april": 4,
    "apr": 4,
    "may": 5,
    "june": 6,
    "jun": 6,
    "july": 7,
    "jul": 7,
    "august": 8,
    "aug": 8,
    "september": 9,
    "sep": 9,
    "sept": 9,
    "october": 10,
    "oct": 10,
    "november": 11,
    "nov": 11,
    "december": 12,
    "dec": 12,
}
WEEKDAYS = {
    "monday": 0,
    "mon": 0,
    "tuesday": 1,
    "tue": 1,
    "tues": 1,
    "wednesday": 2,
    "wed": 2,
    "thursday": 3,
    "thu": 3,
    "thurs": 3,
    "friday": 4,
    "fri": 4,
    "saturday": 5,
    "sat": 5,
    "sunday": 6,
    "sun": 6,
}
DAYS = {"today": 0, "tonight": 0, "tomorrow": 1, "day after tomorrow": 2, "same day": 0}
WEEK_AHEAD = "this week|by the weekend|next week|in the coming week|coming week"
MUST = (
    "must|must be|must have|must haves|musts|has to|have to|needs to|only|definitely|essential|required|"
    "strictly|absolutely|mandatory|"
    "non negotiable|no exceptions|need to have|has to be|has to have|it needs"
)
WANT = (
    "ideally|preferably|preferred|nice to haves|wishes|prefer|rather|nice|would be nice|nice to have|"
    "if possible|if you can|would like|would love|"
    "optional|optionally|a plus|bonus|wish|wishing|hopefully|love|would prefer|best case|perfect|favourite|"
    "not essential|"
    "would be great|would be good|would be a bonus|not a must|if at all possible|as a bonus"
)
# A wish said after the thing wished for.
WANT_AFTER = (
    "would be nice|if possible|nice to have|preferred|a plus|bonus|would be great|would be good|optional|"
    "not essential|"
    "would be a bonus|if you can|would be perfect|if at all possible|not a must|ideally|preferably"
)
TURN = "but|however|though"
NOT = "no|not|without|except|anything but|avoid|never|don t want|excluding"
LIKE = "like|similar to|similar|comparable to|along the lines of|such as"
FILLERS = (
    "i|i m|im|we|you|my|our|me|us|it|its|a|an|the|this|that|these|those|is|are|am|be|been|was|were|will|"
    "would|can|could|should|"
    "want|wants|wanted|need|needs|needed|looking|look|for|after|buy|buying|find|get|getting|search|"
    "searching|seeking|please|"
    "with|and|or|of|in|on|at|to|by|as|so|too|also|then|than|but|from|hi|hello|hey|thanks|thank|cheers|one|"
    "some|something|any|"
    "anything|someone|somebody|there|here|which|who|what|has|have|had|do|does|done|just|about|deal|"
    "purchase|m|s|d|ll|re|ve|"
    "offers|offer|quotes|quote|open|price|budget|mileage|data|per|must|ideally|preferably|rather|if|"
    "possible|nice|prefer|"
    "preferred|only|really|very|around|near|within|max|under|like|similar|likes|going|go|while|when|where|"
    "their|them|they|"
    "months|month|year|years|weeks|week|day|days|good|great|small|large|big|decent|reliable|first|next|"
    "other|house|home|"
    "maybe|perhaps|either|both|no|not|more|less|least|most|much|many|few|up|down|over|out|into|enough|definitely|"
    "cost|costs|contract|warranty|would|had|made|make|model|plus|ok|okay|fine|area|radius|whose|because|since|until"
)
