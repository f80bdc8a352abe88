// The HTTP interface apart from HTTP's transport: who may do what, and what each route answers.
//
// Errors of a request are found before anything runs, so that a stream begins only when its request
// will be served.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "host/engine_thread.h"
#include "host/page/machine_report.h"
#include "host/server/api_error.h"
#include "host/server/completion_job.h"
#include "host/server/metrics.h"
#include "host/server/served_model.h"

namespace pianola {

struct HttpRequest {
  std::string method;
  std::string path;           // without the query
  std::string query;          // what follows the question mark
  std::string authorization;  // header fields; empty: absent
  std::string origin;
  std::string host;
  std::string body;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>>
      fields;  // further ones, of the server's own text
};

// A request for completions that is ready to run.
struct Completion {
  CompletionJob job;
  std::vector<GenerationOptions> options;  // by choice
};

struct ServiceOptions {
  std::vector<std::string> api_keys;      // empty: everybody may
  std::vector<std::string> cors_origins;  // "*": all
};

class Service {
 public:
  // The engine must outlive it.
  Service(ServedModel model, EngineThread& engine, ServiceOptions options);

  using Answer = std::variant<HttpResponse, std::unique_ptr<Completion>>;
  Answer handle(const HttpRequest& request);

  HttpResponse error_response(const ApiError& error) const;
  // Header fields that allow a page of this origin to read an answer.
  std::vector<std::pair<std::string, std::string>> cors_fields(const HttpRequest& request) const;
  // The name under which a path is counted.
  static std::string route_of(const HttpRequest& request);

  // True if the answer can take long, or has to wait for the engine; such requests may be handled
  // in any thread.
  static bool is_slow(const HttpRequest& request);

  EngineThread& engine() { return *engine_; }
  Metrics& metrics() { return metrics_; }
  const ServedModel& model() const { return model_; }
  void set_draining() { draining_ = true; }

 private:
  std::optional<ApiError> check_access(const HttpRequest& request) const;
  bool origin_is_allowed(const HttpRequest& request) const;
  std::optional<ApiError> check_model(const std::string& name) const;
  Answer post(const HttpRequest& request);
  Answer get(const HttpRequest& request);
  Answer complete(const HttpRequest& request, bool chat);
  HttpResponse quote(const HttpRequest& request);
  HttpResponse tokenize(const HttpRequest& request);
  HttpResponse detokenize(const HttpRequest& request);
  HttpResponse apply_template(const HttpRequest& request);
  HttpResponse health() const;
  HttpResponse timeline(const HttpRequest& request);
  OrderedJson describe_model() const;

  ServedModel model_;
  EngineThread* engine_;
  ServiceOptions options_;
  MachineReport report_;
  Metrics metrics_;
  std::uint64_t next_id_;
  bool draining_ = false;
};

// Equal, in a time that does not tell where the first difference is.
bool equal_in_constant_time(std::string_view a, std::string_view b);

}  // namespace pianola
