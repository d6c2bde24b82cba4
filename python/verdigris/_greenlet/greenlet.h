/* Where genuine greenlet has its header, beside its Python module. Ours is in the package's include folder. */
#include "../include/greenlet/greenlet.h"
