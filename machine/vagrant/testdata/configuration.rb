# Loads the Vagrantfile in the working folder with Vagrant's own code and tells
# what its configuration holds, for dcalab's tests. Vagrant's package of Debian
# makes it available to the system's Ruby.
gem 'vagrant'
require 'vagrant'
require 'json'

env = Vagrant::Environment.new(ui_class: Vagrant::UI::Silent)
machines = env.machine_names.map do |name|
  vm = env.vagrantfile.machine_config(name, nil, nil, nil)[:config].vm
  virtualbox = vm.get_provider_config(:virtualbox)
  hyperv = vm.get_provider_config(:hyperv)
  {
    name: name, box: vm.box, hostname: vm.hostname,
    networks: vm.networks.to_h { |kind, o| [kind, o.slice(:ip, :netmask)] }.slice(:private_network),
    folders: vm.synced_folders.reject { |_, o| o[:disabled] }.keys,
    providers: vm.__providers,
    virtualbox: [virtualbox.name, virtualbox.linked_clone, virtualbox.customizations.map { |_, c| c.drop(2) }],
    hyperv: [hyperv.vmname, hyperv.cpus, hyperv.memory, hyperv.linked_clone]
  }
end
puts JSON.generate(machines)
