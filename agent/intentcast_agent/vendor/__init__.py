"""Works for one vendor: reads its stock, matches demands, quotes, answers and hands leads over."""
