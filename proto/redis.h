#pragma once
/* Redis' RESP2 and RESP3. Hints of a command: */
#define REDIS_HINT_LAST   0x1u /* what follows the first line of the answer is no answer: SUBSCRIBE, MONITOR, SYNC */
#define REDIS_HINT_SELECT 0x2u /* conn/: when the answer failed, the namespace is not known */
#define REDIS_NS_UNKNOWN  UINT32_MAX

/* SELECT failed: which database commands are for is not known until the next one. state: of the commands' direction */
void oa_redis_forget_database(void *state);
