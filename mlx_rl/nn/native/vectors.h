// Sixteen numbers at once, on any CPU: the compiler splits them where its registers are narrower.

#pragma once

#include <cstdint>

typedef float f16 __attribute__((vector_size(64)));
typedef int32_t i16 __attribute__((vector_size(64)));
