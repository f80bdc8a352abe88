// What this host can do at best, in one thread: the figures that others stand beside.
#pragma once

#include <cstddef>
#include <string>

namespace pianola {

// Seconds of this thread on a processor: what it waits for others does not count.
double thread_seconds();

// Bytes per second of a plain sum over `size_bytes`, the best of some rounds, on large pages where
// there are any.
double plain_read_speed(size_t size_bytes);

// int8 multiply-accumulates per second from registers with VNNI; 0 if the host has none.
double peak_multiplication_speed();

// The processor by the name that it gives itself; "unknown" where it gives none.
std::string processor_name();

}  // namespace pianola
