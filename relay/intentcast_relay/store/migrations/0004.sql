-- A public record is found by place as well as by category: a row for each of its categories in each of its places.
-- A place is a cell; of a record without cells "=" and a country; of one without either it is empty. The category is
-- empty for a record that has none.
CREATE TABLE topic_and_place (
    category TEXT    NOT NULL,
    place    TEXT    NOT NULL,
    seq      INTEGER NOT NULL,
    PRIMARY KEY (category, place, seq)
) STRICT, WITHOUT ROWID;

INSERT OR IGNORE INTO topic_and_place
SELECT coalesce(topic.category, ''), place.value, record.seq
FROM record LEFT JOIN topic ON topic.seq = record.seq,
json_each(CASE
    WHEN cells != '' THEN '["' || replace(cells, ' ', '","') || '"]'
    WHEN countries != '' THEN '["=' || replace(countries, ' ', '","=') || '"]'
    ELSE '[""]'
END) AS place
WHERE record.recipient IS NULL;

DROP TABLE topic;
ALTER TABLE topic_and_place RENAME TO topic;
CREATE INDEX topic_seq ON topic (seq);
