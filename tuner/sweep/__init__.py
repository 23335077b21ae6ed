"""The main job: one build, the whole surface predicted, the front measured, the answer validated.

``run`` is the table of contents. Each stage is a file, and what it is made of stands beside it::

    prepare    plan; pose, which every job has in common; problem
    model      proxy_graph (the one build, the curves of every derived M);
               codecs, with codec_space, codec_context, codec_bounds and codec_costs
    measure    index_builder; frontier, with candidates and ef_search; finalists, with finalist_times
               and shown_costs; exhaustive
    answer     flattery
    deliver    index_file, ef_table; whole_index with added_rows; baseline; advice

``sampled`` tunes a part of the rows where limits hold no more: sample_size, whole_file (what codecs lose
among all rows), nested (graphs of parts of the sample), whole_answer (what that says of all rows).

``exact`` answers where vectors are few, ``result`` writes down what was found, ``doubts`` warns of it,
``stage_options`` is what benchmarks replace, and ``rehearse`` is a run without building anything.
"""

from tuner.sweep.plan import Plan, plan
from tuner.sweep.rehearse import rehearse
from tuner.sweep.run import sweep

__all__ = ["Plan", "plan", "rehearse", "sweep"]
