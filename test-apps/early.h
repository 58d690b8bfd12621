#pragma once
/* What the constructor in early.c lived through, one line each. */
__attribute__((visibility("default"))) extern char early_story[512];
