"""Words of which tests make texts."""

WORDS = (
    *("lamp", "river", "stone", "cloud", "copper", "garden", "violin", "harbour"),
    *("pepper", "window", "saddle", "lantern", "meadow", "timber"),
)
