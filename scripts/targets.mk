# Targets that live beside what they serve.
-include fuzz/fuzz.mk
