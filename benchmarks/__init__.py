"""Measurements that the reports quote; each module is one command."""
