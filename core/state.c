/* The word every hook reads. */
#include "core/state.h"

#include <stddef.h>

_Atomic int oa_state = OA_STATE_NEW;
bool (*oa_activate_fn)(void);
