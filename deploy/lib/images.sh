# shellcheck shell=bash
# The images that programs run in.

# image_is_current NAME: was it built from the recipe as it is now?
image_is_current() {
	local recipe
	recipe=$("$here/images/build.sh" --recipe "$1") &&
		[[ $(engine image inspect --format '{{index .Config.Labels "dev.symbi.recipe"}}' "symbi/$1:1" 2>/dev/null) == "$recipe" ]]
}

build_image() { doing "building the image symbi/$1:1 from Debian packages" as_root "$here/images/build.sh" "$1"; }

base_image_title() { echo "image symbi/base:1"; }
base_image_present() { image_is_current base; }
base_image_mend() { echo "deploy/images/build.sh base"; }
base_image_install() { build_image base; }

python_image_title() { echo "image symbi/python:1"; }
python_image_present() { image_is_current python; }
python_image_mend() { echo "deploy/images/build.sh python"; }
python_image_install() { build_image python; }

images_remove() {
	local name
	engine_present || return 0
	for name in base python; do
		engine image inspect "symbi/$name:1" >/dev/null 2>&1 || continue
		engine rmi -f "symbi/$name:1" >/dev/null
		report removed "image symbi/$name:1"
	done
}
