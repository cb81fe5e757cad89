"""From the log to what is kept: raw archive, events, and the windows of the recording (docs/concepts/compaction.md).

    python -m observer.compact --local-dir DIR     the loop that runs beside the recorder
    mlx-rl compact --local-dir DIR                 one pass

Everything here runs in a process of its own: it imports Parquet, which the recorder must not.
"""
