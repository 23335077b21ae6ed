"""Codecs, encoders, graphs, and the faiss index that is made of them."""
