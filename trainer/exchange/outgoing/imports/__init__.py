"""Models that were imported, written for other libraries."""
