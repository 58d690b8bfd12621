#pragma once
/* The sink's side of gRPC: HTTP/2 without TLS, as much of it as takes requests and says that all is well. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sink_h2 {
	uint64_t posts, bytes;
};

/* Whether these are the first bytes of HTTP/2. */
bool sink_h2_is(const uint8_t *mem, size_t len);

/* Takes whole frames, the preface among them, and answers; returns how many bytes they had, 0 none. */
size_t sink_h2_take(int fd, const uint8_t *mem, size_t len, struct sink_h2 *counts);
