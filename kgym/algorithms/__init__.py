"""The loss core that algorithms share: ratios, clipping, aggregation, KL, baselines, mismatch weights, and the
packing of batches.
"""
