// `pianola serve`: a model or a roll behind the interface of OpenAI, on any executor that plays
// rolls.
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>

#include "cli/commands.h"
#include "cli/executors.h"
#include "cli/input_options.h"
#include "formats/mapped_file.h"
#include "formats/read_gguf.h"
#include "host/engine_thread.h"
#include "host/server/http_server.h"
#include "host/server/service.h"
#include "host/shared_engine.h"

namespace pianola {
namespace {

struct ServeOptions {
  InputOptions input;
  ExecutorOptions executor;
  std::string draft;
  std::string name;
  std::string key_file;
  std::string chat_template;
  int slots = 8;
  int queue = 256;
  double grace_seconds = 10;
  ServiceOptions service;
  HttpServerOptions http;
};

// A device and what it plays; both stay where they are.
struct Loaded {
  CompiledInput input;
  std::unique_ptr<Device> device;
};

Result<std::unique_ptr<Loaded>> load(const InputOptions& input, const ExecutorOptions& executor) {
  auto loaded = std::make_unique<Loaded>();
  TRY(loaded->input, open_input(input));
  TRY(loaded->device, make_executor(loaded->input.roll, executor));
  return loaded;
}

Status read_keys(const std::string& path, std::vector<std::string>& keys) {
  std::ifstream file(path);
  if (!file) return Error{ErrorCode::NotFound, "cannot read the API keys", path};
  for (std::string line; std::getline(file, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) keys.push_back(line);
  }
  if (!keys.empty()) return Ok{};
  return Error{ErrorCode::InvalidArgument, "expected one API key a line, found none", path};
}

Status check_options(const ServeOptions& options) {
  TRY_STATUS(check_executor_options(options.executor));
  if (options.executor.name == "reference") {
    return Error{ErrorCode::InvalidArgument, "plays no rolls; choose another executor",
                 "executor reference"};
  }
  for (const std::string& key : options.service.api_keys) {
    if (key.empty()) {
      return Error{ErrorCode::InvalidArgument, "an API key must not be empty", "--api-key"};
    }
  }
  return Ok{};
}

// The source of the chat template: a file that the user names, or what came with the model.
Result<std::string> find_chat_template(const ServeOptions& options, const Tokenizer& tokenizer) {
  const std::filesystem::path input = options.input.path;
  std::filesystem::path file = options.chat_template;
  std::error_code ignored;
  if (file.empty() && std::filesystem::exists(input / "chat_template.jinja", ignored)) {
    file = input / "chat_template.jinja";
  }
  if (!file.empty()) {
    TRY(const std::unique_ptr<MappedFile> mapped, MappedFile::open(file));
    const auto bytes = mapped->bytes();
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  if (input.extension() == ".gguf") {
    TRY(const std::unique_ptr<MappedFile> mapped, MappedFile::open(input));
    TRY(const GgufFile gguf, GgufFile::parse(mapped->bytes(), input.string()));
    if (!gguf.has("tokenizer.chat_template")) return std::string();
    TRY(const std::string_view source, gguf.string_value("tokenizer.chat_template"));
    return std::string(source);
  }
  return tokenizer.chat_template();
}

Result<ServedModel> describe(const ServeOptions& options, const Loaded& loaded) {
  ServedModel model;
  std::filesystem::path path = options.input.path;
  if (!path.has_filename()) path = path.parent_path();
  model.id = options.name.empty() ? path.stem().string() : options.name;
  model.roll = &loaded.input.roll;
  model.tokenizer = &*loaded.input.tokenizer;
  model.token_bytes = model.tokenizer->token_bytes();
  model.token_bytes.resize(static_cast<std::size_t>(model.roll->metadata.model.vocabulary));
  TRY(const std::string source, find_chat_template(options, *model.tokenizer));
  TRY(model.chat, ChatPrompt::create(source, *model.tokenizer));
  model.executor = options.executor.name;
  model.fingerprint = fingerprint_of(loaded.input.roll);
  model.created = std::chrono::duration_cast<std::chrono::seconds>(
                      std::chrono::system_clock::now().time_since_epoch())
                      .count();
  return model;
}

Status serve(ServeOptions options) {
  TRY_STATUS(check_options(options));
  if (!options.key_file.empty()) {
    TRY_STATUS(read_keys(options.key_file, options.service.api_keys));
  }
  TRY(const std::unique_ptr<Loaded> loaded, load(options.input, options.executor));
  if (!loaded->input.tokenizer) {
    return Error{ErrorCode::NotFound,
                 "there is no tokenizer beside this model, so no text can be served",
                 options.input.path};
  }
  std::unique_ptr<Loaded> small;
  std::optional<DraftModel> draft;
  if (!options.draft.empty()) {
    InputOptions input = options.input;
    input.path = options.draft;
    TRY(small, load(input, options.executor));
    draft = DraftModel{&small->input.roll, small->device.get()};
  }
  TRY(SharedEngine engine,
      SharedEngine::create(loaded->input.roll, *loaded->device, &*loaded->input.tokenizer,
                           {.slots = options.slots}, draft));
  const GrammarTokens grammar_tokens(*loaded->input.tokenizer);
  EngineThread thread(std::move(engine), options.queue);  // what it runs refers to all of these
  TRY(ServedModel model, describe(options, *loaded));
  model.grammar_tokens = &grammar_tokens;
  Service service(std::move(model), thread, options.service);
  options.http.grace =
      std::chrono::milliseconds(static_cast<std::int64_t>(options.grace_seconds * 1000));
  TRY(const std::unique_ptr<HttpServer> server, HttpServer::listen(service, options.http));
  spdlog::info("{} on {} ({}), {} slots", service.model().id, loaded->input.roll.target.name,
               options.executor.name, allowed_slots(loaded->input.roll, options.slots));
  std::printf("listening on http://%s:%u\n", options.http.address.c_str(),
              static_cast<unsigned>(server->port()));
  std::fflush(stdout);
  server->run();
  return Ok{};
}

}  // namespace

void add_serve_command(CLI::App& app, Action& chosen) {
  CLI::App* command =
      app.add_subcommand("serve", "serve a model or a roll to OpenAI-compatible clients");
  auto o = std::make_shared<ServeOptions>();
  add_input_options(*command, o->input);
  command->add_option("--executor", o->executor.name, "emulator, naive, rtl or systemc")
      ->capture_default_str();
  command->add_flag("--lockstep", o->executor.lockstep,
                    "rtl: compare every stream drive with the emulator's");
  add_systemc_options(*command, o->executor.systemc);
  command->add_option("--draft", o->draft, "a small model of the same tokenizer, which proposes");
  command->add_option("--chat-template", o->chat_template,
                      "a Jinja file instead of the model's own");
  command->add_option("--name", o->name, "the model's id; by default the name of the file");
  command->add_option("--host", o->http.address, "the address to listen on")->capture_default_str();
  command->add_option("--port", o->http.port, "0: any that is free")->capture_default_str();
  command->add_option("--slots", o->slots, "sequences that take turns")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  command->add_option("--queue", o->queue, "requests that may wait for a slot")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--api-key", o->service.api_keys, "who has none of these is refused")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--api-key-file", o->key_file, "API keys, one a line");
  command
      ->add_option("--cors-origin", o->service.cors_origins,
                   "pages of this origin may use the server; *: all")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--connections", o->http.connections_max, "at most this many at a time")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--body-bytes", o->http.body_bytes_max, "the largest request body")
      ->capture_default_str();
  command
      ->add_option("--grace-seconds", o->grace_seconds,
                   "for what runs when the server is told to stop")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 3600.0));
  command->callback([&chosen, o] { chosen = [o] { return serve(*o); }; });
}

}  // namespace pianola
