"""From files to records: readers, manifest, split ledger, image cache, views."""
