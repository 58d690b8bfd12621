#pragma once
/* Encoded batches on disk for a receiver that is away longer than memory allows: OTELAUTO_SPOOL_DIR. A file is a batch;
 * its name says when it was written, how many spans it has and which encoding, so that order, bound and count are known
 * from the folder alone. Processes and their successors share the folder: a lock on the folder is held while one is
 * written, a lock on a file while it is sent. A file that is on its way has the suffix .out; one that is left so by a
 * process that died is not sent again, because nobody knows whether it arrived. Side thread only. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"

#define OA_SPOOL_NAME_MAX 128

struct oa_spool_file {
	char name[OA_SPOOL_NAME_MAX];
	int fd; /* 0: none */
	size_t count;
	bool gzip;
	uint8_t *mem; /* of body */
	struct oa_bytes body;
};

/* Whether the settings ask for it, and the folder can be used; says once when not. */
bool oa_spool_open(void);

/* kind: encoding and receiver, "otlp-pb".
 * returns 0; -ENOSPC: the bound, or the disk is full; -errno */
int oa_spool_put(const char *kind, struct oa_bytes body, bool gzip, size_t count);

/* Takes the oldest file of that kind that nobody else is sending: locked and marked as on its way.
 * returns false when there is none */
bool oa_spool_take(const char *kind, struct oa_spool_file *ret_file);
/* It was sent, or refused for good: removed. */
void oa_spool_done(struct oa_spool_file *file);
/* It goes back for another time. */
void oa_spool_back(struct oa_spool_file *file);

/* What lies there now, of all processes and kinds. */
void oa_spool_fill(uint64_t *ret_bytes, uint64_t *ret_spans, uint64_t *ret_files);

/* Child after fork. */
void oa_spool_forget(void);
