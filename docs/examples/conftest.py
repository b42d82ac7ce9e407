"""Examples are projects of their own: the test of each runs its tests the way its reader would."""

collect_ignore = ["first-provider"]
