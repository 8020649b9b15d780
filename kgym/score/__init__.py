"""The harness: sampling plan, metrics, statistics, store."""
