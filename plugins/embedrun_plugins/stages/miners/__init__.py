"""The miners of hard negatives."""
