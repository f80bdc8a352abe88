// What the server answers the page, without a server: page_data_cli ROLL FOLDER writes the page's
// files, then answers each query on standard input, a line: "machine" or a timeline's.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "host/page/machine_report.h"
#include "host/page/page_files.h"

int main(int argc, char** argv) {
  using namespace pianola;
  if (argc != 3) return 2;
  const auto roll = read_roll(argv[1]);
  if (!roll.ok()) {
    std::cerr << to_string(roll.error()) << '\n';
    return 1;
  }
  for (const PageFile& file : page_files()) {
    const std::filesystem::path name(file.path == "/" ? "/index.html" : file.path);
    const std::filesystem::path path = std::filesystem::path(argv[2]) / name.relative_path();
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << file.content;
  }
  MachineReport report(*roll, "nursery-llama", "emulator");
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "machine") {
      std::cout << report.machine().dump() << std::endl;
      continue;
    }
    const auto query = parse_timeline_query(line);
    const auto answer =
        query.ok() ? report.timeline(*query) : Result<nlohmann::ordered_json>(query.error());
    std::cout << (answer.ok()
                      ? answer->dump()
                      : nlohmann::ordered_json{{"error", {{"message", to_string(answer.error())}}}}
                            .dump())
              << std::endl;
  }
}
