// A minimal ESP8266 firmware that enmctl can look after. What each page takes and answers: docs/firmware-contract.md.

#include <ESP8266HTTPUpdateServer.h>
#include <ESP8266WebServer.h>
#include <ESP8266WiFi.h>
#include <ESP8266mDNS.h>
#include <LittleFS.h>

#include "secrets.h"

#ifndef ENMCTL_APP
#error "Say which application this is for: -DENMCTL_APP=<number>"
#endif
#ifndef ENMCTL_FW
#define ENMCTL_FW
#endif
#ifndef OTA_USER
#define OTA_USER ""
#define OTA_PASSWORD ""
#endif

#define TEXT_OF(word) #word
#define TEXT(word) TEXT_OF(word)

static const char BOARD_TYPE[] = "ESP8266";
static const uint16_t HTTP_PORT = 80;
static const size_t BODY_MAX = 4096;
static const uint32_t IDENTIFY_MS = 5000;
static const uint32_t BLINK_MS = 125;
static const uint32_t FAREWELL_MS = 150;

// The version and its mark in one: the image carries all of it, the board reports what stands behind the '='.
// Volatile, so that no compiler splits the constant or leaves it out.
static const volatile char FW_MARK[] = "enmctl-fw=" TEXT(ENMCTL_FW);
static const size_t FW_OFFSET = sizeof("enmctl-fw=") - 1;

// Members of the program, not of a function: the updater keeps a pointer to the server for as long as it runs.
static ESP8266WebServer server(HTTP_PORT);
static ESP8266HTTPUpdateServer updater;

static String name;
static String version;
static uint32_t identifyUntil = 0;
static bool identifying = false;
static uint32_t restartAt = 0;
static bool restarting = false;

static bool credentialsWanted() { return OTA_USER[0] != '\0'; }

// False once a 401 was sent.
static bool allowed() {
  if (!credentialsWanted() || server.authenticate(OTA_USER, OTA_PASSWORD)) return true;
  server.requestAuthentication();
  return false;
}

// Whether the text is one flat JSON object with text for names and values. It is stored as it came, so this only has to
// look, not to keep.
class FlatObject {
 public:
  explicit FlatObject(const String& text) : at(text.c_str()) {}

  bool whole() {
    space();
    if (!take('{')) return false;
    space();
    if (!take('}')) {
      do {
        space();
        if (!word()) return false;
        space();
        if (!take(':')) return false;
        space();
        if (!word()) return false;
        space();
      } while (take(','));
      if (!take('}')) return false;
    }
    space();
    return *at == '\0';
  }

 private:
  const char* at;

  void space() {
    while (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n') at++;
  }

  bool take(char wanted) {
    if (*at != wanted) return false;
    at++;
    return true;
  }

  bool word() {
    if (!take('"')) return false;
    while (*at != '"') {
      if ((uint8_t)*at < 0x20) return false;
      if (*at == '\\' && !escape()) return false;
      at++;
    }
    return take('"');
  }

  // Leaves the place on the escape's last character.
  bool escape() {
    at++;
    if (*at == 'u') {
      for (int digit = 0; digit < 4; digit++) {
        at++;
        if (!isxdigit((uint8_t)*at)) return false;
      }
      return true;
    }
    return *at != '\0' && strchr("\"\\/bfnrt", *at) != nullptr;
  }
};

// The old text stays until the new one is whole: a power cut leaves one of the two.
static bool store(const char* path, const String& text) {
  const String fresh = String(path) + ".new";
  File file = LittleFS.open(fresh, "w");
  if (!file) return false;
  const size_t written = file.print(text);
  file.close();
  return written == text.length() && LittleFS.rename(fresh, path);
}

static void sayId() {
  String text = "{\"contract\":1,\"type\":\"";
  text += BOARD_TYPE;
  text += "\",\"app\":" TEXT(ENMCTL_APP) ",\"id\":\"";
  text += ESP.getChipId();
  text += "\",\"fw\":\"" + version + "\",\"uptime\":";
  text += (uint32_t)(micros64() / 1000000);
  text += ",\"free\":";
  text += (ESP.getFreeSketchSpace() - 0x1000) & 0xFFFFF000;
  text += ",\"flash\":";
  text += ESP.getFlashChipRealSize();
  text += "}";
  server.send(200, "application/json", text);
}

static void takeObject(const char* path) {
  if (!allowed()) return;
  const String body = server.arg("plain");
  if (body.length() > BODY_MAX) {
    server.send(413, "text/plain", "longer than 4096 bytes\n");
  } else if (!FlatObject(body).whole()) {
    server.send(400, "text/plain", "not a flat JSON object of text\n");
  } else if (!store(path, body)) {
    server.send(500, "text/plain", "could not be stored\n");
  } else {
    server.send(200, "text/plain", "stored\n");
  }
}

static void takeRestart() {
  if (!allowed()) return;
  server.send(200, "text/plain", "restarting\n");
  restartAt = millis() + FAREWELL_MS;
  restarting = true;
}

static void takeIdentify() {
  if (!allowed()) return;
  server.send(200, "text/plain", "blinking\n");
  identifyUntil = millis() + IDENTIFY_MS;
  identifying = true;
}

static void advertise() {
  MDNS.begin(name);
  MDNS.addService("http", "tcp", HTTP_PORT);
  MDNS.addServiceTxt("http", "tcp", "app", TEXT(ENMCTL_APP));
  MDNS.addServiceTxt("http", "tcp", "type", BOARD_TYPE);
  MDNS.addServiceTxt("http", "tcp", "id", String(ESP.getChipId()).c_str());
  if (version.length() > 0) MDNS.addServiceTxt("http", "tcp", "fw", version.c_str());
}

static void blink() {
  if (!identifying) return;
  if ((int32_t)(millis() - identifyUntil) >= 0) {
    identifying = false;
    digitalWrite(LED_BUILTIN, HIGH);  // off: the LED hangs between supply and pin
  } else {
    digitalWrite(LED_BUILTIN, (millis() / BLINK_MS) % 2 ? HIGH : LOW);
  }
}

void setup() {
  pinMode(LED_BUILTIN, OUTPUT);
  digitalWrite(LED_BUILTIN, HIGH);
  for (size_t at = FW_OFFSET; FW_MARK[at] != '\0'; at++) version += (char)FW_MARK[at];
  name = String(BOARD_TYPE) + "_" TEXT(ENMCTL_APP) "_" + ESP.getChipId();
  LittleFS.begin();

  WiFi.mode(WIFI_STA);
  WiFi.hostname(name);
  WiFi.setAutoReconnect(true);
  WiFi.begin(WIFI_SSID, WIFI_PASSWORD);
  while (WiFi.status() != WL_CONNECTED) delay(100);

  advertise();
  updater.setup(&server, "/update", OTA_USER, OTA_PASSWORD);
  server.on("/id", HTTP_GET, sayId);
  server.on("/restart", HTTP_POST, takeRestart);
  server.on("/identify", HTTP_POST, takeIdentify);
  server.on("/env", HTTP_POST, []() { takeObject("/env.json"); });
  server.on("/config", HTTP_POST, []() { takeObject("/config.json"); });
  server.begin();
}

// No delay() here: it would slow every answer and every look at the network.
void loop() {
  server.handleClient();
  MDNS.update();
  blink();
  if (restarting && (int32_t)(millis() - restartAt) >= 0) ESP.restart();
}
