/* What launch.c and plan.c know of each other. */
#ifndef MG_PLAN_H
#define MG_PLAN_H

#include "core.h"

mg_plan *mg_plan_current(void); /* being recorded on this thread, or NULL */
int mg_plan_append(mg_plan *plan, const mg_launch *launch, uint32_t in_place, const char *writer);
int mg_launch_run(const mg_launch *launch, uint32_t in_place, const char *writer);

#endif
