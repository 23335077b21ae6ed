"""Which rows each query may be answered with, as users give it: labels, a matrix, or conditions of SQL."""

from tuner.data.filters.asked import FiltersAsked, FilterSource, LabelSource, open_filters

__all__ = ["FilterSource", "FiltersAsked", "LabelSource", "open_filters"]
