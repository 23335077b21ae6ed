"""Filtered search: is the target kept in every band, is the switch to scanning where it should be?"""
