"""Fine-tuning with sentence-transformers in several processes, of one machine or of several."""
