# A formula; at a release put the archive's address and sha256 in, then `brew update-python-resources promptop`.
class Promptop < Formula
  include Language::Python::Virtualenv

  desc "Tune prompts and watch tokens, latency and spend, in your terminal"
  url "file:///dev/null"
  version "0.2.0"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license "MIT"

  depends_on "python@3.13"

  def install
    virtualenv_install_with_resources
    generate_completions_from_executable(bin/"promptop", "completion")
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/promptop --version")
  end
end
