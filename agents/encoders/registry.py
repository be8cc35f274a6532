"""The names of the state encoders. A new encoder is one file and one line here.

An encoder is a ``torch.nn.Module`` made by ``Encoder(shape: Shape, size: int, **options)``. Called with a ``Reading``
it returns float [B, encoder.size]; positions where ``known`` is False must not change that.
"""

from smartrec.core.registry import Registry

ENCODERS = Registry("encoder")
_add, _room = ENCODERS.add, "smartrec.agents.encoders"
_add("frame", f"{_room}.frame:Frame", "the history laid side by side")
_add("rnn", f"{_room}.recurrent:RNN", "plain recurrent network")
_add("gru", f"{_room}.recurrent:GRU", "gated recurrent units")
_add("lstm", f"{_room}.recurrent:LSTM", "long short-term memory")
_add("tcn", f"{_room}.tcn:TemporalConvolution", "causal convolutions whose reach doubles")
_add("esn", f"{_room}.esn:EchoState", "random recurrent network, never trained")
_add("chaos_free", f"{_room}.chaos_free:ChaosFree", "recurrent network without chaos")
_add("attention", f"{_room}.attention:Attention", "self-attention, read at the newest position")
_add(
    "hierarchical_attention",
    f"{_room}.hierarchical_attention:HierarchicalAttention",
    "attention over items, then over their attributes",
)
_add("mac", f"{_room}.mac:Mac", "the user asks, the history answers, in steps")
_add("multi_matching", f"{_room}.multi_matching:MultiMatching", "user and newest positions look at the history")
_add("drr", f"{_room}.drr:DRR", "liked items and their products with the user")
