#pragma once
/* PostgreSQL's protocol 3. Hints of a command: */
#define POSTGRES_HINT_PREPARE 1u /* answered by ParseComplete */
#define POSTGRES_HINT_EXECUTE 2u /* by CommandComplete and its likes */
#define POSTGRES_HINT_WHOLE   3u /* by ReadyForQuery alone */
