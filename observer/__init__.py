"""Watches: records markets to disk and reads them back without leaking the future."""
