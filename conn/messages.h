#pragma once
/* What commands to a broker carry besides: of which topic, how many messages; and which topic a number means. */
#include "conn/exchange.h"
#include "conn/propagate.h"
#include "proto/store.h"

/* A broker has said which topic has this number (16 bytes). Remembered by the process: numbers are unique, whoever said so.
 * runs on host thread; signal-safe: yes; locks: none; heap: no; blocks: no */
void oa_message_named(struct oa_bytes id, struct oa_bytes name);

/* A message is made by this thread: a span of its own, by the rules of context, whose context is to go along in it.
 * returns false when there is none */
bool oa_message_create(enum oa_store_system system, struct oa_bytes exchange, struct oa_bytes key, char ret_context[OA_TRACEPARENT]);

/* Memory for a call that needs more than a frame may have. returns its name, -1: there is none, *ret is NULL */
int64_t oa_message_room(size_t bytes, void **ret);
void oa_message_room_give(int64_t name);

/* Where a message says that it was made: a link of what it came, or goes, with; of the first few such places. */
void oa_message_from(struct oa_exchange *ex, struct oa_bytes traceparent);

/* A part of a command, or of its answer (OA_STORE_PART). Its record is that of a broker's command; the connection's lock is
 * held. runs on host thread; signal-safe: yes; heap: no; blocks: no */
void oa_message_part(struct oa_exchange *ex, const struct oa_store_msg *m);
