"""The worker as a process: the only place that knows Faust.

``app`` wires everything from settings; ``transport`` is Faust's transport over librdkafka, a batch at a time;
``background`` runs what happens at intervals; ``process_memory`` says what the process takes.
"""
