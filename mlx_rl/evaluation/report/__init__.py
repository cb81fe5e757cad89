"""Results for people: a short table, one JSON object, one self-contained HTML page."""
