target_sources(pianola_emulator PRIVATE
  naive_interpreter.cc
  naive_machine.cc
  naive_units.cc
  naive_vxm.cc
)
