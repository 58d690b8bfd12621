#pragma once
/* What the two files of Kafka's parser share: the state of a direction, and reading from the front of a message. Versions
 * of a call differ in layout; from one version on, each is "flexible": counts and texts are compact, and tagged fields
 * may stand behind each structure. */
#include "proto/store_frame.h"

#define KAFKA_UNIT_MAX 1024 /* of a message's head, or of one structure in it, for fields that are read */
#define KAFKA_LOOKS    64   /* records of a message whose headers are read */

/* What is walked through, one structure at a time. */
enum kafka_shape { KAFKA_NONE, KAFKA_PRODUCE, KAFKA_PRODUCED, KAFKA_FETCHED, KAFKA_COMMITTED, KAFKA_TOPICS };

enum kafka_walk {
	WALK_HEAD,     /* a message's length and head */
	WALK_BROKER,   /* of metadata */
	WALK_MIDDLE,   /* between brokers and topics */
	WALK_TOPIC,
	WALK_PART,     /* the beginning of one partition's part */
	WALK_ABORTED,  /* of what was fetched: transactions */
	WALK_LENGTH,   /* of what was fetched: how many bytes of records */
	WALK_MESSAGE,  /* of what was produced: why it was not */
	WALK_RECORDS,  /* a batch of them */
	WALK_RECORD,   /* one, up to its value */
	WALK_HEADERS,  /* what is behind its value */
	WALK_PART_END,
	WALK_TOPIC_END,
};

#define KAFKA_FLEXIBLE 0x01u
#define KAFKA_FAILED   0x02u
#define KAFKA_CONTENT  0x04u /* messages came */
#define KAFKA_BY_ID    0x08u /* topics are named by number */

struct kafka_state {
	struct store_state st;
	uint16_t walk : 4, shape : 3, version : 5, flags : 4;
	uint16_t count;   /* brokers or partitions that are left, this one included */
	uint16_t topics;  /* that are left, this one included */
	uint16_t part;    /* number of the partition; PART_UNKNOWN */
	uint32_t left;    /* bytes of the message that are not taken */
	uint32_t inner;   /* bytes of records behind this batch, or transactions, that are left */
	uint32_t batch;   /* bytes of this batch that are left, while its records are looked at */
};
_Static_assert(sizeof(struct kafka_state) <= 32, "conn/ keeps two of them per connection");

#define KAFKA_PART_UNKNOWN 0xffffu

/* -- reading; what is not there is 0, and the cursor bad from then on -- */

struct kafka_cursor {
	const uint8_t *at, *end;
	bool compact, bad;
};

static inline const uint8_t *kafka_take(struct kafka_cursor *c, size_t n)
{
	const uint8_t *at = c->at;

	if (c->bad || (size_t)(c->end - at) < n) {
		c->bad = true;
		return NULL;
	}
	c->at += n;
	return at;
}

static inline unsigned kafka_16(struct kafka_cursor *c)
{
	const uint8_t *at = kafka_take(c, 2);

	return at ? store_be16(at) : 0;
}

static inline uint32_t kafka_32(struct kafka_cursor *c)
{
	const uint8_t *at = kafka_take(c, 4);

	return at ? store_be32(at) : 0;
}

/* A number of seven bits a byte, in so many bits at most; those beyond 64 are cut. 0 when it is longer, or not whole. */
static inline uint64_t kafka_sevens(struct kafka_cursor *c, unsigned bits)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < bits; shift += 7) {
		const uint8_t *at = kafka_take(c, 1);

		if (!at)
			return 0;
		value |= shift < 64 ? (uint64_t)(*at & 0x7f) << shift : 0;
		if (!(*at & 0x80))
			return value;
	}
	c->bad = true;
	return 0;
}

static inline uint32_t kafka_varint(struct kafka_cursor *c) { return (uint32_t)kafka_sevens(c, 35); }

/* Numbers in records: small ones of either sign are short. */
static inline int64_t kafka_signed(struct kafka_cursor *c)
{
	uint64_t value = kafka_sevens(c, 70);

	return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* A text in a record; none at all is empty. */
static inline struct oa_bytes kafka_record_text(struct kafka_cursor *c)
{
	int64_t len = kafka_signed(c);
	const uint8_t *at = kafka_take(c, len > 0 ? (size_t)len : 0);

	return at && len > 0 ? oa_bytes(at, (size_t)len) : (struct oa_bytes){ 0 };
}

/* A count, or a number of bytes; none at all is 0. */
static inline uint32_t kafka_count(struct kafka_cursor *c)
{
	uint32_t n = c->compact ? kafka_varint(c) : kafka_32(c);

	if (c->compact)
		return n ? n - 1 : 0;
	return n == UINT32_MAX ? 0 : n;
}

/* The length of a text, or none. */
static inline uint32_t kafka_text_len(struct kafka_cursor *c)
{
	unsigned len;

	if (c->compact)
		return kafka_count(c);
	len = kafka_16(c);
	return len == 0xffff ? 0 : len;
}

static inline struct oa_bytes kafka_text(struct kafka_cursor *c)
{
	uint32_t len = kafka_text_len(c);
	const uint8_t *at = kafka_take(c, len);

	return at ? oa_bytes(at, len) : (struct oa_bytes){ 0 };
}

/* Tagged fields, of a flexible version; none of them is looked at. */
static inline void kafka_tags(struct kafka_cursor *c)
{
	uint32_t n = c->compact ? kafka_varint(c) : 0;

	while (n-- && !c->bad) {
		(void)kafka_varint(c);
		(void)kafka_take(c, kafka_varint(c));
	}
}

/* -- kafka_walk.c -- */

/* The next structure of a message that is walked through; `in` is not empty.
 * returns bytes taken, 0 wait, -EPROTO */
long kafka_walk(struct kafka_state *st, struct oa_bytes in, const struct oa_sink *sink);
/* Goes on to the next thing that has bytes; ends the message when there is none. */
void kafka_settle(struct kafka_state *st, const struct oa_sink *sink);
/* Passes over the rest of the message and ends it. */
void kafka_rest(struct kafka_state *st, const struct oa_sink *sink);
/* An answer, or a part of it, that failed: once. */
void kafka_fail(struct kafka_state *st, unsigned code, const struct oa_sink *sink);
