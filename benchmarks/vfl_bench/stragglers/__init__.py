"""The published experiment on slow links: backups, stale scores, PCA (arXiv 2207.11456)."""
