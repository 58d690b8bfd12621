#pragma once
/* What commands to a broker carry besides: of which topic, how many messages; and which topic a number means. */
#include "conn/exchange.h"
#include "proto/store.h"

/* A broker has said which topic has this number (16 bytes). Remembered by the process: numbers are unique, whoever said so.
 * runs on host thread; signal-safe: yes; locks: none; heap: no; blocks: no */
void oa_message_named(struct oa_bytes id, struct oa_bytes name);

/* A part of a command, or of its answer (OA_STORE_PART). Its record is that of a broker's command; the connection's lock is
 * held. runs on host thread; signal-safe: yes; heap: no; blocks: no */
void oa_message_part(struct oa_exchange *ex, const struct oa_store_msg *m);
