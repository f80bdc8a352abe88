target_sources(pianola_emulator PRIVATE
  coverage.cc
  lockstep.cc
  emulator.cc
  kernels_avx2.cc
  kernels_avx512.cc
  kernels_portable.cc
  lay_out_program.cc
  lift.cc
  schedule_issues.cc
)
