target_sources(pianola_emulator PRIVATE
  naive_interpreter.cc
)
