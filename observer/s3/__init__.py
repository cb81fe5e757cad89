"""A recording in a bucket: an uploader in a process of its own, and the way back.

    python -m observer.s3 --local-dir DIR --bucket B --prefix P     brings a data folder up, for ever
    mlx-rl sync s3://B/P DIR                                        brings it down again

Nothing in a bucket is ever overwritten or deleted; with a keep time, raw frames and events that it keeps are deleted
here (`observer.s3.pruner`). Every file lies under a key made of its path and its SHA-256; an
index, written last, says which of them make up the recording (docs/decisions/0009). boto3 is imported by
`observer.s3.bucket`, when a bucket is opened, and nowhere else.
"""
