"""Tables in and out: reading files as people have them, finding headers, parsing cells."""
