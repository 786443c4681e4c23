# Evaluates Ruby that dcalab rendered, for its tests, and tells what arrived.
# Each request on stdin is a line with a kind and a length in bytes, then the
# source; each answer on stdout is one line of JSON.
#
#   literal N      -> the value of the source; a string as {"hex": its bytes}
#   vagrantfile N  -> every call that the Vagrantfile made on its configuration,
#                     as [path, arguments...]
#
# This is not Vagrant: the configuration takes any call and records it.
require 'json'

class Recorder < BasicObject
  def initialize(path, calls)
    @path = path
    @calls = calls
  end

  def method_missing(name, *args, **named, &block)
    path = "#{@path}.#{name}"
    args << named unless named.empty?
    if args.empty? && !block
      return ::Recorder.new(path, @calls)
    end
    @calls << [path, *args]
    # What a trigger would do is code for later, not configuration.
    block&.call(::Recorder.new("#{path}(#{args.first})", @calls)) unless name == :ruby
    nil
  end

  def respond_to_missing?(*) = true
end

module Vagrant
  def self.calls = @calls
  def self.has_plugin?(*) = false

  def self.configure(version)
    @calls = [['configure', version]]
    yield Recorder.new('config', @calls)
  end
end

$stdin.binmode
while (request = $stdin.gets)
  kind, length = request.split
  source = $stdin.read(length.to_i).force_encoding('UTF-8')
  answer =
    begin
      value = eval(source, TOPLEVEL_BINDING.dup, kind)
      if kind == 'vagrantfile'
        Vagrant.calls
      else
        value.is_a?(String) ? { hex: value.unpack1('H*') } : value
      end
    rescue Exception => e # rubocop:disable Lint/RescueException: a SyntaxError is one
      { error: "#{e.class}: #{e.message}" }
    end
  $stdout.puts JSON.generate(answer)
  $stdout.flush
end
