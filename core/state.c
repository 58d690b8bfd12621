/* The word every hook reads. */
#include "core/state.h"

#include <stddef.h>

#include "core/attr.h"

OA_START_DATA _Atomic int oa_state = OA_STATE_NEW;
OA_START_DATA bool (*oa_activate_fn)(void);
