"""From expressions to machine code: fusion, schedules, emitters, loading."""
