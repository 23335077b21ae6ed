"""A sweep over shards of the vectors, here or on a Ray cluster.

Truth is a map over the shards and a merge. Graph, codecs and configurations are chosen on one
representative shard, and the few that could be the answer are built and searched on every shard: recall is
that of the merged answer. ``run`` is the table of contents, ``on_ray`` the one module that knows Ray.
"""
