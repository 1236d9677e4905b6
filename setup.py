from setuptools import find_packages, setup

setup(
    # twisted/plugins holds the drop-in only and has no __init__.py: Twisted's own stays whole.
    # package_dir puts the checkout itself on sys.path for `pip install -e .`, so twistd finds it.
    package_dir={"": "."},
    packages=[*find_packages(include=["pigpen", "pigpen.*"]), "twisted.plugins"],
)
