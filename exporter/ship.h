#pragma once
/* A batch's last stage, for exporters that post: sends an encoded batch, reads what was refused, says what became of it.
 * One batch at a time, as struct oa_exporter wants it.
 *
 * With a spool (spool.h) what the receiver does not take at the first attempt goes to the disk, and so does all that comes
 * while it is away. A second post sends the files, oldest first, one at a time, beside the batches. */
#include "exporter/exporter.h"
#include "exporter/http_post.h"

#define OA_SHIP_TEXT_MAX 160

struct oa_ship_config {
	const struct oa_post_config *post;
	const char *spool_kind; /* receiver and encoding, as in the names of the spool's files; NULL: never on disk */
	/* What a 2xx answer refused for good; text: the receiver's words, cut, printable. NULL: nothing ever. */
	uint64_t (*rejected)(struct oa_bytes body, char text[OA_SHIP_TEXT_MAX]);
	/* The receiver's words in any other answer. NULL: none. */
	void (*error)(struct oa_bytes body, char text[OA_SHIP_TEXT_MAX]);
};

/* An encoded batch. */
struct oa_shipment {
	struct oa_bytes body; /* stays until the batch is settled */
	bool gzip;
	size_t count;         /* spans in it; 0: there is nothing to send */
	size_t left_out;      /* spans of the batch that could not be encoded: failed */
};

struct oa_ship;

/* returns 0 or -errno, after one line that says why */
int oa_ship_open(const struct oa_ship_config *config, struct oa_ship **ret_ship);
void oa_ship_send(struct oa_ship *s, const struct oa_shipment *shipment, uint64_t deadline_ns, oa_batch_done_fn *done,
		  void *arg);
/* Gives up what is under way: done is called with it as failed. */
void oa_ship_cancel(struct oa_ship *s);
/* Child after fork. */
void oa_ship_forget(void);
