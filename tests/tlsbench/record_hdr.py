"""Decodes a histogram of a record with PyPI's `hdrhistogram`, which shares no code with ours.

Reads the base64 text on stdin; prints count, smallest, median, 99th percentile and largest value.
"""

import sys

from hdrh.histogram import HdrHistogram

histogram = HdrHistogram.decode(sys.stdin.read().strip())
print(
    histogram.get_total_count(),
    histogram.get_min_value(),
    histogram.get_value_at_percentile(50),
    histogram.get_value_at_percentile(99),
    histogram.get_max_value(),
)
